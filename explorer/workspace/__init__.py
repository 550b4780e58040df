"""One visitor's work: the open model, its samples, all runs, and what goes on; no Streamlit."""
