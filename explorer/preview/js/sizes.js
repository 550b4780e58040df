// Lengths of axes, as `explorer.preview.axis_sizes` lists them.

// A length that stands as it is, or -1 - the place of a size. A size is `full` long but for what the
// groups' portions that are `gone` take away: so much for each channel, or a number for each portion.
export function lengthOf(counts, at, gone) {
  if (at >= 0) return at;
  const { full, gone: taken } = counts.sizes[-1 - at];
  let length = full;
  for (const [group, lost] of taken) {
    if (!gone[group]) continue;
    length -= Array.isArray(lost) ? lost[gone[group]] : lost * counts.groups[group].ends[gone[group] - 1];
  }
  return length;
}

// All sizes at once, in their order.
export function lengths(counts, gone) {
  return counts.sizes.map((_, place) => lengthOf(counts, -1 - place, gone));
}
