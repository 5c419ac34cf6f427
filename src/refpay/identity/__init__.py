"""Authentication and authorization: principals, tokens, signed requests and approvals."""
