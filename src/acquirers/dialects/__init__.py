"""The merchant APIs of an acquirer: two dialects over the same operation service."""
