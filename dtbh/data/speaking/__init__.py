"""Speech engines, and the clips they make, in shards that are done whole or not at all."""
