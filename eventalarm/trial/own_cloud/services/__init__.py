"""RabbitMQ, MariaDB and PostgreSQL of our own, which may be killed and started again."""
