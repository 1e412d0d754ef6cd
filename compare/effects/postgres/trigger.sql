-- Written by `parallax effects install`; `parallax effects uninstall` removes it.
--
-- The first statement that changes one of the tables writes a message into its
-- transaction that says which exchange it belongs to:
--   - what the session has set: SET LOCAL parallax.exchange = '<X-Parallax-Exchange>', or
--   - the traceparent of a comment at the end or the beginning of the statement,
--     as sqlcommenter writes it: INSERT ... /*traceparent='00-...-01'*/
-- Later statements do so where they say something else: what was said last stands in
-- parallax.told until the transaction, or the part of it down to a savepoint, ends.
-- Without either nothing is written. The message goes to the log with the
-- transaction, and nowhere if that is rolled back. The trigger changes no row and
-- raises no error of its own.

-- Whoever owns the function decides what runs as every role that writes the tables: one
-- that was there before is only taken over from the same role.
DO $parallax$
DECLARE
	other text := (
		SELECT pg_catalog.string_agg(DISTINCT pg_catalog.pg_get_userbyid(owner), ', ')
		FROM (
			SELECT nspowner AS owner FROM pg_catalog.pg_namespace WHERE nspname OPERATOR(pg_catalog.=) 'parallax'
			UNION ALL
			SELECT proowner FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) p.pronamespace
			WHERE n.nspname OPERATOR(pg_catalog.=) 'parallax' AND p.proname OPERATOR(pg_catalog.=) 'tag'
		) AS there
		WHERE pg_catalog.pg_get_userbyid(owner) OPERATOR(pg_catalog.<>) CURRENT_USER
	);
BEGIN
	IF other IS NOT NULL THEN
		RAISE EXCEPTION 'schema parallax or its function tag() belongs to another role: %; install as that one, or take it away first with parallax effects uninstall', other;
	END IF;
END
$parallax$;

CREATE SCHEMA IF NOT EXISTS parallax;

CREATE OR REPLACE FUNCTION parallax.tag() RETURNS trigger LANGUAGE plpgsql AS $parallax$
DECLARE
	tag text := pg_catalog.current_setting('parallax.exchange', true);
	told text := pg_catalog.current_setting('parallax.told', true);
	tells text;  -- what it is to be
	shape CONSTANT text := '^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}''';
	query bytea; -- so that its length costs nothing, and cutting it is no error
	near text;   -- one end of it
	rest text;   -- what stands behind traceparent='
BEGIN
	IF tag IS NULL OR tag OPERATOR(pg_catalog.=) '' THEN
		tag := NULL;
		query := pg_catalog.convert_to(pg_catalog.current_query(), pg_catalog.getdatabaseencoding());
		-- The last one, in the comment that ends the statement. Others may be texts of
		-- somebody else.
		near := pg_catalog.encode(pg_catalog.substr(query, GREATEST(1, pg_catalog.octet_length(query) OPERATOR(pg_catalog.-) 1999)), 'escape');
		near := pg_catalog.rtrim(near, E' \t\r\n;');
		IF told OPERATOR(pg_catalog.<>) '' AND pg_catalog.right(near, pg_catalog.length(told)) OPERATOR(pg_catalog.=) told THEN
			RETURN NULL; -- It ends as the one before did.
		END IF;
		rest := pg_catalog.right(near, pg_catalog.strpos(pg_catalog.reverse(near), '''=tnerapecart') OPERATOR(pg_catalog.-) 1);
		IF rest OPERATOR(pg_catalog.~) shape AND pg_catalog.strpos(rest, '/*') OPERATOR(pg_catalog.=) 0
			AND pg_catalog.strpos(rest, '*/') OPERATOR(pg_catalog.=) (pg_catalog.length(rest) OPERATOR(pg_catalog.-) 1) THEN
			tag := pg_catalog.left(rest, 55);
			tells := pg_catalog.concat('traceparent=''', rest);
		ELSE
			-- The first one, in the comment that begins it.
			near := pg_catalog.ltrim(pg_catalog.encode(pg_catalog.substr(query, 1, 2000), 'escape'), E' \t\r\n');
			near := pg_catalog.split_part(near, '*/', 1);
			rest := pg_catalog.substr(near, pg_catalog.strpos(near, 'traceparent=''') OPERATOR(pg_catalog.+) 13);
			IF pg_catalog.left(near, 2) OPERATOR(pg_catalog.=) '/*' AND rest OPERATOR(pg_catalog.~) shape THEN
				tag := pg_catalog.left(rest, 55);
			END IF;
		END IF;
		IF tag IS NULL THEN
			RETURN NULL;
		END IF;
	END IF;
	tells := COALESCE(tells, tag);
	IF told OPERATOR(pg_catalog.=) tells THEN
		RETURN NULL;
	END IF;
	-- A role that may not write messages must not fail: its changes are unattributed. From
	-- version 17 on the function has one argument more.
	IF NOT pg_catalog.has_function_privilege(COALESCE(pg_catalog.to_regprocedure('pg_catalog.pg_logical_emit_message(boolean,text,text)'),
		pg_catalog.to_regprocedure('pg_catalog.pg_logical_emit_message(boolean,text,text,boolean)')), 'EXECUTE') THEN
		RETURN NULL;
	END IF;
	PERFORM pg_catalog.pg_logical_emit_message(true, 'parallax', pg_catalog.left(tag, 200)), pg_catalog.set_config('parallax.told', tells, true);
	RETURN NULL;
END
$parallax$;
