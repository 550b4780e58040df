"""The Streamlit interface; the only place that knows Streamlit.

It runs in the server process, which loads no runtime: models are reached through `explorer.jobs`.
"""
