"""The page of a report, and the page across reports."""
