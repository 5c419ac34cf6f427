"""The declaration of the money path: what it is made of, who answers for it, what it promises."""
