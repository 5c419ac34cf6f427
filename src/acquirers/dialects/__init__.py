"""How an acquirer talks to its merchants: two dialects over one desk."""
