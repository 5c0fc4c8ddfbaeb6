# A service over archives that are mounted at /data, by an exported model that needs no torch:
#
#     docker build -t dtbh .
#     docker run -e DTBH_TOKEN=secret -p 8000:8000 -v "$PWD/archives/ucm:/data/archive:ro" \
#       -v "$PWD/models/ucm:/data/model:ro" dtbh
#
# Archives keep the paths of their media relative to themselves: mount the media too where pictures are to be shown.
FROM python:3.11-slim

ARG EXTRAS=search
RUN useradd --create-home --uid 10001 dtbh
WORKDIR /opt/dtbh
COPY pyproject.toml README.md LICENSE ./
COPY dtbh dtbh
RUN pip install --no-cache-dir ".[$EXTRAS]" && rm -rf /opt/dtbh/*

USER dtbh
WORKDIR /data
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
ENTRYPOINT ["dtbh"]
CMD ["serve", "/data/archive", "--model", "/data/model", "--host", "0.0.0.0", "--port", "8000"]
