"""Alert rules, their tests and the routing of pages, generated from the declaration of the money path."""
