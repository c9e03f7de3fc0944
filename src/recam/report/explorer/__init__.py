"""An explorer of score maps for the report: masks follow a threshold in the reader's browser."""

from recam.report.explorer.fragment import explorer_html

__all__ = ["explorer_html"]
