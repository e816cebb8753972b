# The page on a server of one's own: docker build -t segr1 . && docker run -p 7860:7860 -v segr1:/data segr1
# With a GPU add --gpus all, and for the full models, which come to the volume once, -e SEGR1_MODELS=full.
# Visitors only look. For people who sign in add -e SEGR1_AUTH=/data/people.json; to name them, once for each:
#   docker run -it --rm -v segr1:/data segr1 python -m segr1_app people add NAME --role admin --auth /data/people.json
# The base image is named by a tag, which gets security updates. For a build that is the same each time, name a digest,
# as 'docker buildx imagetools inspect python:3.11-slim' tells it: --build-arg BASE=python@sha256:...
ARG BASE=python:3.11-slim
FROM ${BASE}

COPY packages.txt requirements.txt constraints.txt /app/
RUN apt-get update \
    && xargs apt-get install -y --no-install-recommends < /app/packages.txt \
    && rm -rf /var/lib/apt/lists/* \
    && pip install --no-cache-dir -c /app/constraints.txt -r /app/requirements.txt

COPY app.py LICENSE README.md /app/
COPY assets /app/assets
COPY segr1_app /app/segr1_app
COPY train /app/train

RUN useradd --create-home segr1 && mkdir /data && chown segr1 /data
USER segr1
WORKDIR /app
ENV SEGR1_HOME=/data HF_HOME=/data/huggingface SEGR1_HOST=0.0.0.0 SEGR1_LOG=json PYTHONUNBUFFERED=1
EXPOSE 7860
HEALTHCHECK --start-period=2m CMD python -c "import urllib.request; urllib.request.urlopen('http://127.0.0.1:7860/healthz')"
# Saves under way are finished, and synced, before it ends.
STOPSIGNAL SIGTERM
CMD ["python", "app.py"]
