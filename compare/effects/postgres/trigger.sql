-- Written by `parallax effects install`; `parallax effects uninstall` removes it.
--
-- Every statement that changes one of the tables writes a message into its
-- transaction that says which exchange it belongs to:
--   - what the session has set: SET LOCAL parallax.exchange = '<X-Parallax-Exchange>', or
--   - the traceparent of a comment at the end or the beginning of the statement,
--     as sqlcommenter writes it: INSERT ... /*traceparent='00-...-01'*/
-- Without either nothing is written. The message goes to the log with the
-- transaction, and nowhere if that is rolled back. The trigger changes no row and
-- raises no error of its own.
CREATE SCHEMA IF NOT EXISTS parallax;

CREATE OR REPLACE FUNCTION parallax.tag() RETURNS trigger LANGUAGE plpgsql AS $parallax$
DECLARE
	tag text := pg_catalog.current_setting('parallax.exchange', true);
	query text;
BEGIN
	IF tag IS NULL OR tag OPERATOR(pg_catalog.=) '' THEN
		query := pg_catalog.current_query();
		IF pg_catalog.strpos(query, 'traceparent=''') OPERATOR(pg_catalog.=) 0 THEN
			RETURN NULL;
		END IF;
		-- A comment inside the statement may be a text of somebody else.
		tag := pg_catalog.substring(pg_catalog.right(query, 2000),
			'/\*(?:[^*]|\*(?!/))*traceparent=''([0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2})''(?:[^*]|\*(?!/))*\*/[\s;]*$');
		IF tag IS NULL THEN
			tag := pg_catalog.substring(pg_catalog.left(query, 2000),
				'^\s*/\*(?:[^*]|\*(?!/))*traceparent=''([0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2})''');
		END IF;
		IF tag IS NULL THEN
			RETURN NULL;
		END IF;
	END IF;
	PERFORM pg_catalog.pg_logical_emit_message(true, 'parallax', pg_catalog.left(tag, 200));
	RETURN NULL;
END
$parallax$;
