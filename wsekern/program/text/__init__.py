"""PE programs as text: the listing and its parser."""
