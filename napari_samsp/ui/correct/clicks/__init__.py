"""Tools that change labels by clicks."""
