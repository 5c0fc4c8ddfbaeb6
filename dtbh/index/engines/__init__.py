"""The engines that can hold an index, a file each; `dtbh.index.engines.base` says what an engine is."""
