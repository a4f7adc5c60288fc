"""The report: a page of a run, a series or a comparison, and its figures."""
