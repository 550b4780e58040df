# The app as an ordinary user; docs/deploy.md says how to run it closed off.
FROM python:3.12-slim

# For pip, such as an index with a build of torch for processors alone, which is gigabytes smaller.
ARG PIP_OPTIONS=""

WORKDIR /app
COPY requirements.txt .
RUN pip install --no-cache-dir $PIP_OPTIONS torch==2.13.0 \
    && pip install --no-cache-dir $PIP_OPTIONS -r requirements.txt
COPY app.py ./
COPY .streamlit/config.toml .streamlit/
COPY pages pages
COPY explorer explorer
COPY sample_models sample_models
RUN python -m compileall -q /app && useradd --uid 10001 --no-create-home explorer

USER explorer
ENV EXPLORER_FOLDER=/tmp/explorer HOME=/tmp PYTHONUNBUFFERED=1
EXPOSE 8501
HEALTHCHECK CMD python -c "import urllib.request as r; r.urlopen('http://localhost:8501/_stcore/health')"
CMD ["python", "-m", "streamlit", "run", "app.py", "--server.address", "0.0.0.0", "--server.headless", "true"]
