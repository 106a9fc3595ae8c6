# One image for the API, the workers, and the migrations; docker-compose.yml says which is which.
FROM python:3.11-slim

# The CPU build of torch by default; for a GPU worker build with
#   --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu130
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu

ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /app

COPY requirements.lock ./
RUN pip install --index-url ${TORCH_INDEX} --extra-index-url https://pypi.org/simple \
    -c requirements.lock torch==2.13.0

COPY pyproject.toml README.md ./
COPY autodistil autodistil
COPY cli cli
COPY client client
COPY database database
# The pages that service/problem_pages links to.
COPY docs/problems docs/problems
COPY migrations migrations
COPY models_store models_store
COPY service service
COPY worker worker
RUN pip install -c requirements.lock . \
    && useradd --create-home --uid 1000 autodistil \
    && mkdir /data && chown autodistil /data

USER autodistil
ENV AUTODISTIL_DATA_DIR=/data
VOLUME /data
EXPOSE 8000
CMD ["uvicorn", "--factory", "service.app:create_app", "--host", "0.0.0.0", "--port", "8000", "--timeout-graceful-shutdown", "5"]
