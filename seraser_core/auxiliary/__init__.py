"""Auxiliary images, which show only the spurious part or only the foreground."""

from seraser_core.auxiliary.views import Maker, Picture, make_view

__all__ = ["Maker", "Picture", "make_view"]
