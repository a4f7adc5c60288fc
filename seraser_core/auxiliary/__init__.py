"""Auxiliary images: what holds only the spurious part, or only the foreground."""

from seraser_core.auxiliary.crops import crops_view
from seraser_core.auxiliary.views import (
    AUXILIARY,
    RELEVANCE_VIEWS,
    VIEWS,
    Auxiliary,
    Picture,
    make_view,
    pictures_of,
)

__all__ = [
    "AUXILIARY",
    "RELEVANCE_VIEWS",
    "VIEWS",
    "Auxiliary",
    "Picture",
    "crops_view",
    "make_view",
    "pictures_of",
]
