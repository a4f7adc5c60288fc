"""Auxiliary images: what holds only the spurious part, or only the foreground."""

from seraser_core.auxiliary.views import AUXILIARY, VIEWS, Auxiliary, Picture, make_view

__all__ = ["AUXILIARY", "VIEWS", "Auxiliary", "Picture", "make_view"]
