"""Networks and their first weights."""
