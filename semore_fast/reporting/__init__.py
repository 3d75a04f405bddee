"""From finished runs to a table one can trust: statistics over seeds, and pages that show them."""
