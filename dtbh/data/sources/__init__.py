"""What a data set's files are: the published ones, class folders, tables of one's own."""
