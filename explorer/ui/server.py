"""What the web server has besides Streamlit: a guard, Netron's routes, and order at its end."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import streamlit as st
from starlette.middleware import Middleware

from explorer.jobs import shared_pool
from explorer.ui.guard import Guard
from explorer.ui.netron import ROUTES
from explorer.ui.storage import storage

__all__ = ["MIDDLEWARE", "ROUTES", "lifespan"]

MIDDLEWARE = [Middleware(Guard)]


@asynccontextmanager
async def lifespan(_: st.App) -> AsyncIterator[None]:
    """Start the processes that work; stop them and remove the visitors' files at the end."""
    shared_pool().start()
    storage()
    yield
    shared_pool().close()
    storage().close()
