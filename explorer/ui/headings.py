"""Headings as every page has them."""

import streamlit as st


def heading(text: str, level: int = 2) -> None:
    """Words of our own, never a stranger's."""
    st.html(f'<h{level} class="ce-h2">{text}</h{level}>')
