"""Files and folders that a run made or used: named by their content, kept once, found again by their content."""
