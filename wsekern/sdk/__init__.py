"""The host's side of CSL programs: what scripts written for the vendor's SDK import, over simulations of wsekern."""
