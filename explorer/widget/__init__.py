"""The live panel: one JavaScript module for Streamlit and Jupyter, and what it needs to know."""
