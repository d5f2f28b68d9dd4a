"""Who is calling: identities, client secrets, limits."""
