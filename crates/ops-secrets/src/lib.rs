//! Secrets from environment, AWS SSM, AWS Secrets Manager and .env, with a TTL cache and provenance.
