"""The steps that the live-viewing tables share, as lazy expressions."""
