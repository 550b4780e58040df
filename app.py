"""The compression explorer: page config and navigation.

`streamlit run app.py` imports this file for `app` (Streamlit and Netron on one port), and then runs
it as a script for every visitor.
"""

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

if get_script_run_ctx(suppress_warning=True) is None:
    from explorer.ui.server import MIDDLEWARE, ROUTES, lifespan

    app = st.App(__file__, routes=ROUTES, middleware=MIDDLEWARE, lifespan=lifespan)
else:
    from explorer.ui.turns import turn

    with turn():
        st.set_page_config(page_title="Compression explorer", page_icon="🗜️", layout="wide")
        page = st.navigation(
            [
                st.Page("pages/explore.py", title="Explore", default=True),
                st.Page("pages/layers.py", title="Layers"),
                st.Page("pages/tradeoffs.py", title="Trade-offs"),
                st.Page("pages/graph.py", title="Graph"),
                st.Page("pages/export.py", title="Export"),
            ],
            position="top",
        )
    page.run()
