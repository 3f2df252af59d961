# Serves trained runs on a CPU. Build: docker build -t unrolled .   Run: see compose.yaml
FROM python:3.12-slim
WORKDIR /app
COPY constraints.txt pyproject.toml README.md LICENSE ./
COPY unrolled unrolled
# The index of PyTorch's CPU builds, as its "Get Started" page names it (--build-arg TORCH_INDEX=...): without it pip takes the
# CUDA build, about 7 GB.
ARG TORCH_INDEX=""
RUN pip install --no-cache-dir ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} "$(grep '^torch==' constraints.txt)" \
 && pip install --no-cache-dir -c constraints.txt ".[serve,audio,images]"
RUN useradd --create-home server
USER server
WORKDIR /home/server
# The runs are mounted at runs/; UNROLLED_TOKEN must be set, or the server refuses to listen to others.
EXPOSE 8000
STOPSIGNAL SIGTERM
# At the port that process 1 was told, whichever way.
HEALTHCHECK CMD ["python", "-c", "from unrolled.cli.serve import healthy; healthy()"]
ENTRYPOINT ["unrolled", "serve"]
CMD ["@last", "host=0.0.0.0"]
