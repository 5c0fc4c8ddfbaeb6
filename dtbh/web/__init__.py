"""The page and the service: FastAPI over the same functions as the command line. No torch until a model loads."""
