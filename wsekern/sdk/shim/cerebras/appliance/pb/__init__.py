"""Names of the vendor's appliance."""
