#!/bin/sh
# Makes the database's roles and the database, or brings their passwords up to date. May run any number of times.
set -eu
secrets=${1:-/run/secrets/database}
# Each on a line of its own: a file that cannot be read, or an empty one, ends the script here and not in an empty password.
PGPASSWORD=$(cat "$secrets/postgres")
OWNER=$(cat "$secrets/refpay_owner")
APP=$(cat "$secrets/refpay_app")
ORACLE=$(cat "$secrets/refpay_oracle")
: "${PGPASSWORD:?is empty}" "${OWNER:?is empty}" "${APP:?is empty}" "${ORACLE:?is empty}"
export PGPASSWORD OWNER APP ORACLE

psql --no-psqlrc --set=ON_ERROR_STOP=1 --quiet --dbname=postgres <<'SQL'
\getenv owner OWNER
\getenv app APP
\getenv oracle ORACLE
SELECT format('CREATE ROLE %I LOGIN', name)
FROM unnest(ARRAY['refpay_owner', 'refpay_app', 'refpay_oracle']) AS name
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) \gexec
ALTER ROLE refpay_owner PASSWORD :'owner';
ALTER ROLE refpay_app PASSWORD :'app';
ALTER ROLE refpay_oracle PASSWORD :'oracle';
SELECT 'CREATE DATABASE refpay OWNER refpay_owner'
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'refpay') \gexec
REVOKE ALL ON DATABASE refpay FROM PUBLIC;
GRANT CONNECT ON DATABASE refpay TO refpay_app, refpay_oracle;
SQL
