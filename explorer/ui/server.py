"""What the web server has besides Streamlit: the routes of Netron, and tidying up at its end."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import streamlit as st

from explorer.jobs import shared_pool
from explorer.ui.netron import ROUTES
from explorer.ui.sources import Folder

__all__ = ["ROUTES", "lifespan"]


@asynccontextmanager
async def lifespan(_: st.App) -> AsyncIterator[None]:
    """Stop the workers and remove the visitors' files when the server is told to stop."""
    yield
    shared_pool().close()
    Folder.remove_all()
