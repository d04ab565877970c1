"""What serves, seen live: servers' own metrics read twice and compared, on a cluster or at an address."""
