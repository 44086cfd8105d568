"""What `minigan bench` measured on the machine of record (results/), and how README and docs come from it (report)."""
