"""The schema on PostgreSQL."""
