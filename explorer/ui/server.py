"""What the web server has besides Streamlit: a guard, Netron's routes, and a clean shutdown."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import streamlit as st
from starlette.middleware import Middleware
from streamlit.runtime.pages_manager import PagesManager

from explorer.jobs import shared_pool
from explorer.ui import netron, panel
from explorer.ui.guard import Guard
from explorer.ui.gzipped import Gzipped
from explorer.ui.preload import Preload
from explorer.workspace.folders import storage

__all__ = ["MIDDLEWARE", "ROUTES", "lifespan"]

SWITCH_S = 0.001  # what the thread that answers waits for Python while a page is drawn

ROUTES = [*netron.ROUTES, *panel.ROUTES]
MIDDLEWARE = [Middleware(Guard), Middleware(Gzipped), Middleware(Preload)]

# `st.navigation` says the same, but a first visit to /graph would come before that and get the page
# without the app around it, beside a list of files.
PagesManager.uses_pages_directory = False


@asynccontextmanager
async def lifespan(_: st.App) -> AsyncIterator[None]:
    """Start the processes that work; stop them and remove the visitors' files at the end."""
    sys.setswitchinterval(SWITCH_S)
    shared_pool().start()
    storage()
    yield
    shared_pool().close()
    storage().close()
