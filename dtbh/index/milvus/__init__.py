"""An index on Milvus, for more than one machine."""
