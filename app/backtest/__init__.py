"""What a policy would have told: the same judge as live, on the time of data that is kept."""
