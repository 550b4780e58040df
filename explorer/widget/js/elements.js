// Making elements. Names of files and layers are anybody's: they only ever become text.

const SVG = "http://www.w3.org/2000/svg";

// An element with attributes, and children that are elements or text.
export function make(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

// The same for drawings.
export function draw(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

function fill(element, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) {
      element.setAttribute(key, value === true ? "" : value);
    }
  }
  element.append(...children);
  return element;
}

// Set text only where it changes, so that what reads the page aloud isn't disturbed.
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

let numbers = 0;

// A name for an element that another one refers to.
export function newId(name) {
  numbers += 1;
  return `explorer-${name}-${numbers}`;
}
