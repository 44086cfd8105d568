"""From networks and data to a finished run."""
