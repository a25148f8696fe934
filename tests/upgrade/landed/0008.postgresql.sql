SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;
CREATE EXTENSION IF NOT EXISTS btree_gin WITH SCHEMA public;
COMMENT ON EXTENSION btree_gin IS 'support for indexing common datatypes in GIN';
CREATE EXTENSION IF NOT EXISTS pg_trgm WITH SCHEMA public;
COMMENT ON EXTENSION pg_trgm IS 'text similarity measurement and index searching based on trigrams';
SET default_tablespace = '';
SET default_table_access_method = heap;
CREATE TABLE public.alembic_version (
    version_num character varying(32) NOT NULL
);
CREATE TABLE public.apps (
    id bigint NOT NULL,
    name text NOT NULL,
    auth_key text NOT NULL,
    auth_secret text NOT NULL,
    admin_api_key text NOT NULL,
    settings text NOT NULL,
    created_at bigint NOT NULL
);
CREATE TABLE public.contacts (
    user_id bigint NOT NULL,
    contact_id bigint NOT NULL,
    app_id bigint NOT NULL,
    name text NOT NULL,
    group_names text NOT NULL,
    state bigint NOT NULL,
    listed boolean DEFAULT false NOT NULL,
    request text
);
CREATE TABLE public.counters (
    name text NOT NULL,
    value bigint DEFAULT 0 NOT NULL
);
CREATE TABLE public.dialogs (
    id text NOT NULL,
    app_id bigint NOT NULL,
    type smallint NOT NULL,
    owner_id bigint NOT NULL,
    pair text,
    name text,
    description text,
    photo text,
    extensions text,
    data text,
    permissions text,
    pinned text,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    seq bigint DEFAULT 0 NOT NULL,
    live bigint DEFAULT 0 NOT NULL,
    last_seq bigint DEFAULT 0 NOT NULL,
    last_date_sent bigint,
    cleared bigint DEFAULT 0 NOT NULL,
    members_version bigint DEFAULT 0 NOT NULL,
    copied boolean DEFAULT false NOT NULL,
    dropped boolean DEFAULT false NOT NULL,
    changes bigint DEFAULT 0 NOT NULL
);
CREATE TABLE public.erased_users (
    app_id bigint NOT NULL,
    user_id bigint NOT NULL
);
CREATE SEQUENCE public.erased_users_user_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.erased_users_user_id_seq OWNED BY public.erased_users.user_id;
CREATE TABLE public.erasing (
    dialog_id text NOT NULL,
    app_id bigint NOT NULL,
    upto bigint NOT NULL
);
CREATE TABLE public.hidden_messages (
    dialog_id text NOT NULL,
    user_id bigint NOT NULL,
    seq bigint NOT NULL
);
CREATE TABLE public.job_leases (
    name text NOT NULL,
    node text NOT NULL,
    lease_until bigint NOT NULL
);
CREATE TABLE public.last_activity (
    user_id bigint NOT NULL,
    at bigint NOT NULL
);
CREATE TABLE public.members (
    dialog_id text NOT NULL,
    user_id bigint NOT NULL,
    app_id bigint NOT NULL,
    type smallint NOT NULL,
    active boolean DEFAULT false NOT NULL,
    admin boolean DEFAULT false NOT NULL,
    hidden boolean DEFAULT false NOT NULL,
    muted boolean DEFAULT false NOT NULL,
    joined_at bigint NOT NULL,
    handed bigint DEFAULT 0 NOT NULL,
    settled bigint DEFAULT 0 NOT NULL,
    base bigint DEFAULT 0 NOT NULL,
    hidden_before bigint DEFAULT 0 NOT NULL,
    copied boolean DEFAULT false NOT NULL,
    listed_at bigint DEFAULT 0 NOT NULL,
    activity bigint DEFAULT 0 NOT NULL
);
CREATE TABLE public.message_ids (
    app_id bigint NOT NULL,
    id text NOT NULL,
    dialog_id text NOT NULL,
    seq bigint NOT NULL,
    sender_id bigint NOT NULL,
    removed_at bigint
);
CREATE TABLE public.message_texts (
    rowid bigint NOT NULL,
    body text
);
CREATE TABLE public.messages (
    dialog_id text NOT NULL,
    seq bigint NOT NULL,
    id text NOT NULL,
    app_id bigint NOT NULL,
    sender_id bigint NOT NULL,
    recipient_id bigint NOT NULL,
    body text NOT NULL,
    properties text,
    attachments text,
    extras text,
    date_sent bigint NOT NULL,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    edited_at bigint,
    quiet boolean DEFAULT false NOT NULL,
    destroy_after bigint,
    expires_at bigint
);
CREATE TABLE public.nodes (
    node text NOT NULL,
    lease_until bigint NOT NULL
);
CREATE TABLE public.offline_messages (
    user_id bigint NOT NULL,
    seq bigint NOT NULL,
    message_id text NOT NULL,
    app_id bigint NOT NULL,
    head text NOT NULL,
    tail text NOT NULL,
    created_at bigint NOT NULL
);
CREATE TABLE public.presence (
    user_id bigint NOT NULL,
    node text NOT NULL,
    sessions bigint NOT NULL,
    active bigint NOT NULL
);
CREATE TABLE public.privacy_defaults (
    user_id bigint NOT NULL,
    app_id bigint NOT NULL,
    name text NOT NULL
);
CREATE TABLE public.privacy_lists (
    user_id bigint NOT NULL,
    name text NOT NULL,
    app_id bigint NOT NULL,
    rules text NOT NULL
);
CREATE TABLE public.reactions (
    dialog_id text NOT NULL,
    seq bigint NOT NULL,
    reaction text NOT NULL,
    user_id bigint NOT NULL,
    created_at bigint NOT NULL
);
CREATE TABLE public.receipts (
    dialog_id text NOT NULL,
    user_id bigint NOT NULL,
    kind bigint NOT NULL,
    low bigint NOT NULL,
    high bigint NOT NULL
);
CREATE TABLE public.search_dialogs (
    dialog_id text NOT NULL,
    number bigint NOT NULL,
    upto bigint DEFAULT 0 NOT NULL
);
CREATE TABLE public.tokens (
    token_hash text NOT NULL,
    id bigint NOT NULL,
    app_id bigint NOT NULL,
    user_id bigint NOT NULL,
    expires_at bigint NOT NULL,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    fixed boolean DEFAULT false NOT NULL
);
CREATE TABLE public.user_tags (
    user_id bigint NOT NULL,
    tag text NOT NULL,
    app_id bigint NOT NULL
);
CREATE TABLE public.users (
    id bigint NOT NULL,
    app_id bigint NOT NULL,
    login text,
    login_key text,
    email text,
    email_key text,
    password_hash text,
    full_name text,
    phone text,
    website text,
    custom_data text,
    avatar text,
    external_id text,
    facebook_id text,
    twitter_id text,
    user_tags text,
    external_user_id bigint,
    blob_id bigint,
    timezone bigint,
    is_guest boolean DEFAULT false NOT NULL,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    last_request_at bigint,
    name_key text
);
ALTER TABLE ONLY public.erased_users ALTER COLUMN user_id SET DEFAULT nextval('public.erased_users_user_id_seq'::regclass);
INSERT INTO public.alembic_version VALUES ('0008');
INSERT INTO public.apps VALUES (1, 'Landed', '0e278ecc38d27ffa34236c1ac0ac7b70', '00f442b992230eac2b676b4174d6dd7a', 'e38661d8b97e455688a15950b740679e', '{"dialog_custom_fields": ["city", "level"], "message_days": 30000}', 1796066970);
INSERT INTO public.contacts VALUES (2, 1, 1, '', '[]', 2, true, NULL);
INSERT INTO public.contacts VALUES (1, 2, 1, 'Bobby', '["Friends"]', 1, true, NULL);
INSERT INTO public.contacts VALUES (1, 3, 1, '', '[]', 4, true, NULL);
INSERT INTO public.contacts VALUES (3, 1, 1, '', '[]', 8, false, '');
INSERT INTO public.counters VALUES ('apps', 1);
INSERT INTO public.counters VALUES ('generation', 2);
INSERT INTO public.counters VALUES ('users', 5);
INSERT INTO public.dialogs VALUES ('6b0dcea830a4851c24041ce4', 1, 4, 4, NULL, 'Public', NULL, NULL, NULL, NULL, '{"allow_preview":true}', NULL, 1796066984877, 1796066988653, 1, 1, 1, 1796066988, 0, 1, false, true, 0);
INSERT INTO public.dialogs VALUES ('6b0dcea830a4851c24041ce3', 1, 2, 1, NULL, 'Group', 'of four', NULL, '{"city":"Oslo"}', '{"seats":4,"class_name":"Room"}', NULL, '["6b0dceaa30a4851c24041ce8"]', 1796066984814, 1796066988717, 31, 31, 31, 1796066987, 0, 2, false, true, 2);
INSERT INTO public.dialogs VALUES ('6b0dceac30a4851c24041d08', 1, 3, 3, '3:4', NULL, NULL, NULL, NULL, NULL, NULL, NULL, 1796066988785, 1796066988815, 1, 1, 1, 1796066988, 0, 1, false, true, 0);
INSERT INTO public.dialogs VALUES ('6b0dcea830a4851c24041ce2', 1, 3, 1, '1:2', NULL, NULL, NULL, NULL, NULL, NULL, NULL, 1796066984737, 1796066985877, 32, 31, 32, 1796066985, 0, 0, true, false, 3);
INSERT INTO public.hidden_messages VALUES ('6b0dcea830a4851c24041ce2', 1, 4);
INSERT INTO public.job_leases VALUES ('search', 'postgresql', 1796067037);
INSERT INTO public.job_leases VALUES ('self-destroyed messages', 'postgresql', 1796067025);
INSERT INTO public.job_leases VALUES ('erased dialogs', 'postgresql', 1796067032);
INSERT INTO public.last_activity VALUES (1, 1796066990);
INSERT INTO public.last_activity VALUES (2, 1796066991);
INSERT INTO public.last_activity VALUES (3, 1796066992);
INSERT INTO public.last_activity VALUES (4, 1796066993);
INSERT INTO public.members VALUES ('6b0dcea830a4851c24041ce4', 3, 1, 4, true, false, false, false, 1796066984, 0, 1, 0, 1, false, 0, 0);
INSERT INTO public.members VALUES ('6b0dceac30a4851c24041d08', 3, 1, 3, true, false, true, false, 1796066988, 1, 1, 0, 1, false, 1796066988785, 1796066988);
INSERT INTO public.members VALUES ('6b0dcea830a4851c24041ce2', 1, 1, 3, true, false, false, false, 1796066984, 32, 30, 0, 0, true, 1796066985877, 1796066985);
INSERT INTO public.members VALUES ('6b0dcea830a4851c24041ce2', 2, 1, 3, true, false, false, false, 1796066984, 32, 30, 0, 0, true, 1796066985877, 1796066985);
INSERT INTO public.members VALUES ('6b0dceac30a4851c24041d08', 4, 1, 3, true, false, false, false, 1796066988, 1, 0, 0, 0, false, 1796066988785, 1796066988);
INSERT INTO public.members VALUES ('6b0dcea830a4851c24041ce3', 1, 1, 2, true, false, false, false, 1796066984, 30, 30, 0, 0, false, 1796066984814, 1796066984);
INSERT INTO public.members VALUES ('6b0dcea830a4851c24041ce3', 2, 1, 2, true, true, false, false, 1796066984, 0, 5, 0, 0, false, 1796066984814, 1796066984);
INSERT INTO public.members VALUES ('6b0dcea830a4851c24041ce3', 3, 1, 2, true, false, false, true, 1796066984, 0, 1, 0, 0, false, 1796066984814, 1796066984);
INSERT INTO public.members VALUES ('6b0dcea830a4851c24041ce4', 4, 1, 4, true, false, false, false, 1796066984, 1, 1, 0, 0, false, 1796066984877, 1796066984);
INSERT INTO public.members VALUES ('6b0dcea830a4851c24041ce3', 4, 1, 2, false, false, false, false, 1796066984, 0, 0, 0, 0, false, 1796066984814, 1796066984);
INSERT INTO public.message_ids VALUES (1, '6b0dcea8df97e66d920256c0', '6b0dcea830a4851c24041ce2', 1, 1, NULL);
INSERT INTO public.message_ids VALUES (1, '6b0dcea9df97e66d920256c2', '6b0dcea830a4851c24041ce2', 2, 1, NULL);
INSERT INTO public.message_ids VALUES (1, '6b0dcea9df97e66d920256c6', '6b0dcea830a4851c24041ce2', 4, 1, NULL);
INSERT INTO public.message_ids VALUES (1, '6b0dcea9df97e66d920256c8', '6b0dcea830a4851c24041ce2', 5, 1, NULL);
INSERT INTO public.message_ids VALUES (1, '6b0dcea9df97e66d920256ca', '6b0dcea830a4851c24041ce2', 6, 1, NULL);
INSERT INTO public.message_ids VALUES (1, '6b0dcea9df97e66d920256cc', '6b0dcea830a4851c24041ce2', 7, 1, NULL);
INSERT INTO public.message_ids VALUES (1, '6b0dcea9df97e66d920256ce', '6b0dcea830a4851c24041ce2', 8, 1, NULL);
INSERT INTO public.message_ids VALUES (1, '6b0dcea9df97e66d920256d0', '6b0dcea830a4851c24041ce2', 9, 1, NULL);
INSERT INTO public.message_ids VALUES (1, '6b0dcea9df97e66d920256d2', '6b0dcea830a4851c24041ce2', 10, 1, NULL);
INSERT INTO public.message_ids VALUES (1, '6b0dcea9df97e66d920256d4', '6b0dcea830a4851c24041ce2', 11, 1, NULL);
INSERT INTO public.message_ids VALUES (1, '6b0dcea9df97e66d920256d6', '6b0dcea830a4851c24041ce2', 12, 1, NULL);
INSERT INTO public.message_ids VALUES (1, '6b0dcea9df97e66d920256d8', '6b0dcea830a4851c24041ce2', 13, 1, NULL);
INSERT INTO public.message_ids VALUES (1, '6b0dcea9df97e66d920256da', '6b0dcea830a4851c24041ce2', 14, 1, NULL);
INSERT INTO public.message_ids VALUES (1, '6b0dcea9df97e66d920256db', '6b0dcea830a4851c24041ce2', 15, 1, NULL);
INSERT INTO public.message_ids VALUES (1, '6b0dcea9df97e66d920256de', '6b0dcea830a4851c24041ce2', 16, 1, NULL);
INSERT INTO public.message_ids VALUES (1, '6b0dcea9df97e66d920256e0', '6b0dcea830a4851c24041ce2', 17, 1, NULL);
INSERT INTO public.message_ids VALUES (1, '6b0dcea9df97e66d920256e2', '6b0dcea830a4851c24041ce2', 18, 1, NULL);
INSERT INTO public.message_ids VALUES (1, '6b0dcea9df97e66d920256e4', '6b0dcea830a4851c24041ce2', 19, 1, NULL);
INSERT INTO public.message_ids VALUES (1, '6b0dcea9df97e66d920256e6', '6b0dcea830a4851c24041ce2', 20, 1, NULL);
INSERT INTO public.message_ids VALUES (1, '6b0dcea9df97e66d920256e8', '6b0dcea830a4851c24041ce2', 21, 1, NULL);
INSERT INTO public.message_ids VALUES (1, '6b0dcea9df97e66d920256ea', '6b0dcea830a4851c24041ce2', 22, 1, NULL);
INSERT INTO public.message_ids VALUES (1, '6b0dcea9df97e66d920256ec', '6b0dcea830a4851c24041ce2', 23, 1, NULL);
INSERT INTO public.message_ids VALUES (1, '6b0dcea9df97e66d920256ee', '6b0dcea830a4851c24041ce2', 24, 1, NULL);
INSERT INTO public.message_ids VALUES (1, '6b0dcea9df97e66d920256f0', '6b0dcea830a4851c24041ce2', 25, 1, NULL);
INSERT INTO public.message_ids VALUES (1, '6b0dcea9df97e66d920256f2', '6b0dcea830a4851c24041ce2', 26, 1, NULL);
INSERT INTO public.message_ids VALUES (1, '6b0dcea9df97e66d920256f4', '6b0dcea830a4851c24041ce2', 27, 1, NULL);
INSERT INTO public.message_ids VALUES (1, '6b0dcea9df97e66d920256f6', '6b0dcea830a4851c24041ce2', 28, 1, NULL);
INSERT INTO public.message_ids VALUES (1, '6b0dcea9df97e66d920256f8', '6b0dcea830a4851c24041ce2', 29, 1, NULL);
INSERT INTO public.message_ids VALUES (1, '6b0dcea9df97e66d920256fa', '6b0dcea830a4851c24041ce2', 30, 1, NULL);
INSERT INTO public.message_ids VALUES (1, '6b0dcea9df97e66d920256fc', '6b0dcea830a4851c24041ce2', 31, 2, NULL);
INSERT INTO public.message_ids VALUES (1, '6b0dcea9df97e66d920256fe', '6b0dcea830a4851c24041ce2', 32, 1, NULL);
INSERT INTO public.message_ids VALUES (1, '6b0dcea9df97e66d920256c4', '6b0dcea830a4851c24041ce2', 3, 1, 1796066985);
INSERT INTO public.message_ids VALUES (1, '6b0dceaa30a4851c24041ce6', '6b0dcea830a4851c24041ce3', 1, 1, NULL);
INSERT INTO public.message_ids VALUES (1, '6b0dceaa30a4851c24041ce7', '6b0dcea830a4851c24041ce3', 2, 1, NULL);
INSERT INTO public.message_ids VALUES (1, '6b0dceaa30a4851c24041ce8', '6b0dcea830a4851c24041ce3', 3, 1, NULL);
INSERT INTO public.message_ids VALUES (1, '6b0dceaa30a4851c24041ce9', '6b0dcea830a4851c24041ce3', 4, 1, NULL);
INSERT INTO public.message_ids VALUES (1, '6b0dceaa30a4851c24041cea', '6b0dcea830a4851c24041ce3', 5, 1, NULL);
INSERT INTO public.message_ids VALUES (1, '6b0dceaa30a4851c24041ceb', '6b0dcea830a4851c24041ce3', 6, 1, NULL);
INSERT INTO public.message_ids VALUES (1, '6b0dceaa30a4851c24041cec', '6b0dcea830a4851c24041ce3', 7, 1, NULL);
INSERT INTO public.message_ids VALUES (1, '6b0dceaa30a4851c24041ced', '6b0dcea830a4851c24041ce3', 8, 1, NULL);
INSERT INTO public.message_ids VALUES (1, '6b0dceaa30a4851c24041cee', '6b0dcea830a4851c24041ce3', 9, 1, NULL);
INSERT INTO public.message_ids VALUES (1, '6b0dceaa30a4851c24041cef', '6b0dcea830a4851c24041ce3', 10, 1, NULL);
INSERT INTO public.message_ids VALUES (1, '6b0dceaa30a4851c24041cf0', '6b0dcea830a4851c24041ce3', 11, 1, NULL);
INSERT INTO public.message_ids VALUES (1, '6b0dceaa30a4851c24041cf1', '6b0dcea830a4851c24041ce3', 12, 1, NULL);
INSERT INTO public.message_ids VALUES (1, '6b0dceaa30a4851c24041cf2', '6b0dcea830a4851c24041ce3', 13, 1, NULL);
INSERT INTO public.message_ids VALUES (1, '6b0dceaa30a4851c24041cf3', '6b0dcea830a4851c24041ce3', 14, 1, NULL);
INSERT INTO public.message_ids VALUES (1, '6b0dceaa30a4851c24041cf4', '6b0dcea830a4851c24041ce3', 15, 1, NULL);
INSERT INTO public.message_ids VALUES (1, '6b0dceaa30a4851c24041cf5', '6b0dcea830a4851c24041ce3', 16, 1, NULL);
INSERT INTO public.message_ids VALUES (1, '6b0dceaa30a4851c24041cf6', '6b0dcea830a4851c24041ce3', 17, 1, NULL);
INSERT INTO public.message_ids VALUES (1, '6b0dceaa30a4851c24041cf7', '6b0dcea830a4851c24041ce3', 18, 1, NULL);
INSERT INTO public.message_ids VALUES (1, '6b0dceaa30a4851c24041cf8', '6b0dcea830a4851c24041ce3', 19, 1, NULL);
INSERT INTO public.message_ids VALUES (1, '6b0dceaa30a4851c24041cf9', '6b0dcea830a4851c24041ce3', 20, 1, NULL);
INSERT INTO public.message_ids VALUES (1, '6b0dceaa30a4851c24041cfa', '6b0dcea830a4851c24041ce3', 21, 1, NULL);
INSERT INTO public.message_ids VALUES (1, '6b0dceaa30a4851c24041cfb', '6b0dcea830a4851c24041ce3', 22, 1, NULL);
INSERT INTO public.message_ids VALUES (1, '6b0dceab30a4851c24041cfc', '6b0dcea830a4851c24041ce3', 23, 1, NULL);
INSERT INTO public.message_ids VALUES (1, '6b0dceab30a4851c24041cfd', '6b0dcea830a4851c24041ce3', 24, 1, NULL);
INSERT INTO public.message_ids VALUES (1, '6b0dceab30a4851c24041cfe', '6b0dcea830a4851c24041ce3', 25, 1, NULL);
INSERT INTO public.message_ids VALUES (1, '6b0dceab30a4851c24041cff', '6b0dcea830a4851c24041ce3', 26, 1, NULL);
INSERT INTO public.message_ids VALUES (1, '6b0dceab30a4851c24041d00', '6b0dcea830a4851c24041ce3', 27, 1, NULL);
INSERT INTO public.message_ids VALUES (1, '6b0dceab30a4851c24041d01', '6b0dcea830a4851c24041ce3', 28, 1, NULL);
INSERT INTO public.message_ids VALUES (1, '6b0dceab30a4851c24041d02', '6b0dcea830a4851c24041ce3', 29, 1, NULL);
INSERT INTO public.message_ids VALUES (1, '6b0dceab30a4851c24041d03', '6b0dcea830a4851c24041ce3', 30, 1, NULL);
INSERT INTO public.message_ids VALUES (1, '6b0dceab30a4851c24041d04', '6b0dcea830a4851c24041ce3', 31, 3, NULL);
INSERT INTO public.message_ids VALUES (1, '6b0dceac30a4851c24041d07', '6b0dcea830a4851c24041ce4', 1, 4, NULL);
INSERT INTO public.message_ids VALUES (1, '6b0dceac30a4851c24041d09', '6b0dceac30a4851c24041d08', 1, 3, NULL);
INSERT INTO public.messages VALUES ('6b0dcea830a4851c24041ce2', 1, '6b0dcea8df97e66d920256c0', 1, 1, 2, 'Message 0', '{"n":"0"}', NULL, '<markable xmlns="urn:xmpp:chat-markers:0"/>', 1796066984, 1796066984969, 1796066984969, NULL, false, NULL, NULL);
INSERT INTO public.messages VALUES ('6b0dcea830a4851c24041ce2', 4, '6b0dcea9df97e66d920256c6', 1, 1, 2, 'Message 3', '{"n":"3"}', NULL, '<markable xmlns="urn:xmpp:chat-markers:0"/>', 1796066985, 1796066985138, 1796066985138, NULL, false, NULL, NULL);
INSERT INTO public.messages VALUES ('6b0dcea830a4851c24041ce2', 5, '6b0dcea9df97e66d920256c8', 1, 1, 2, 'Message 4', '{"n":"4"}', NULL, '<markable xmlns="urn:xmpp:chat-markers:0"/>', 1796066985, 1796066985170, 1796066985170, NULL, false, NULL, NULL);
INSERT INTO public.messages VALUES ('6b0dcea830a4851c24041ce2', 6, '6b0dcea9df97e66d920256ca', 1, 1, 2, 'Message 5', '{"n":"5"}', NULL, '<markable xmlns="urn:xmpp:chat-markers:0"/>', 1796066985, 1796066985184, 1796066985184, NULL, false, NULL, NULL);
INSERT INTO public.messages VALUES ('6b0dcea830a4851c24041ce2', 7, '6b0dcea9df97e66d920256cc', 1, 1, 2, 'Message 6', '{"n":"6"}', NULL, '<markable xmlns="urn:xmpp:chat-markers:0"/>', 1796066985, 1796066985218, 1796066985218, NULL, false, NULL, NULL);
INSERT INTO public.messages VALUES ('6b0dcea830a4851c24041ce2', 8, '6b0dcea9df97e66d920256ce', 1, 1, 2, 'Message 7', '{"n":"7"}', NULL, '<markable xmlns="urn:xmpp:chat-markers:0"/>', 1796066985, 1796066985241, 1796066985241, NULL, false, NULL, NULL);
INSERT INTO public.messages VALUES ('6b0dcea830a4851c24041ce2', 9, '6b0dcea9df97e66d920256d0', 1, 1, 2, 'Message 8', '{"n":"8"}', NULL, '<markable xmlns="urn:xmpp:chat-markers:0"/>', 1796066985, 1796066985261, 1796066985261, NULL, false, NULL, NULL);
INSERT INTO public.messages VALUES ('6b0dcea830a4851c24041ce2', 10, '6b0dcea9df97e66d920256d2', 1, 1, 2, 'Message 9', '{"n":"9"}', NULL, '<markable xmlns="urn:xmpp:chat-markers:0"/>', 1796066985, 1796066985271, 1796066985271, NULL, false, NULL, NULL);
INSERT INTO public.messages VALUES ('6b0dcea830a4851c24041ce2', 11, '6b0dcea9df97e66d920256d4', 1, 1, 2, 'Message 10', '{"n":"10"}', NULL, '<markable xmlns="urn:xmpp:chat-markers:0"/>', 1796066985, 1796066985293, 1796066985293, NULL, false, NULL, NULL);
INSERT INTO public.messages VALUES ('6b0dcea830a4851c24041ce2', 12, '6b0dcea9df97e66d920256d6', 1, 1, 2, 'Message 11', '{"n":"11"}', NULL, '<markable xmlns="urn:xmpp:chat-markers:0"/>', 1796066985, 1796066985318, 1796066985318, NULL, false, NULL, NULL);
INSERT INTO public.messages VALUES ('6b0dcea830a4851c24041ce2', 13, '6b0dcea9df97e66d920256d8', 1, 1, 2, 'Message 12', '{"n":"12"}', NULL, '<markable xmlns="urn:xmpp:chat-markers:0"/>', 1796066985, 1796066985357, 1796066985357, NULL, false, NULL, NULL);
INSERT INTO public.messages VALUES ('6b0dcea830a4851c24041ce2', 14, '6b0dcea9df97e66d920256da', 1, 1, 2, 'Message 13', '{"n":"13"}', NULL, '<markable xmlns="urn:xmpp:chat-markers:0"/>', 1796066985, 1796066985394, 1796066985394, NULL, false, NULL, NULL);
INSERT INTO public.messages VALUES ('6b0dcea830a4851c24041ce2', 15, '6b0dcea9df97e66d920256db', 1, 1, 2, 'Message 14', '{"n":"14"}', NULL, '<markable xmlns="urn:xmpp:chat-markers:0"/>', 1796066985, 1796066985404, 1796066985404, NULL, false, NULL, NULL);
INSERT INTO public.messages VALUES ('6b0dcea830a4851c24041ce2', 16, '6b0dcea9df97e66d920256de', 1, 1, 2, 'Message 15', '{"n":"15"}', NULL, '<markable xmlns="urn:xmpp:chat-markers:0"/>', 1796066985, 1796066985423, 1796066985423, NULL, false, NULL, NULL);
INSERT INTO public.messages VALUES ('6b0dcea830a4851c24041ce2', 17, '6b0dcea9df97e66d920256e0', 1, 1, 2, 'Message 16', '{"n":"16"}', NULL, '<markable xmlns="urn:xmpp:chat-markers:0"/>', 1796066985, 1796066985440, 1796066985440, NULL, false, NULL, NULL);
INSERT INTO public.messages VALUES ('6b0dcea830a4851c24041ce2', 18, '6b0dcea9df97e66d920256e2', 1, 1, 2, 'Message 17', '{"n":"17"}', NULL, '<markable xmlns="urn:xmpp:chat-markers:0"/>', 1796066985, 1796066985471, 1796066985471, NULL, false, NULL, NULL);
INSERT INTO public.messages VALUES ('6b0dcea830a4851c24041ce2', 19, '6b0dcea9df97e66d920256e4', 1, 1, 2, 'Message 18', '{"n":"18"}', NULL, '<markable xmlns="urn:xmpp:chat-markers:0"/>', 1796066985, 1796066985498, 1796066985498, NULL, false, NULL, NULL);
INSERT INTO public.messages VALUES ('6b0dcea830a4851c24041ce2', 20, '6b0dcea9df97e66d920256e6', 1, 1, 2, 'Message 19', '{"n":"19"}', NULL, '<markable xmlns="urn:xmpp:chat-markers:0"/>', 1796066985, 1796066985521, 1796066985521, NULL, false, NULL, NULL);
INSERT INTO public.messages VALUES ('6b0dcea830a4851c24041ce2', 21, '6b0dcea9df97e66d920256e8', 1, 1, 2, 'Message 20', '{"n":"20"}', NULL, '<markable xmlns="urn:xmpp:chat-markers:0"/>', 1796066985, 1796066985562, 1796066985562, NULL, false, NULL, NULL);
INSERT INTO public.messages VALUES ('6b0dcea830a4851c24041ce2', 22, '6b0dcea9df97e66d920256ea', 1, 1, 2, 'Message 21', '{"n":"21"}', NULL, '<markable xmlns="urn:xmpp:chat-markers:0"/>', 1796066985, 1796066985575, 1796066985575, NULL, false, NULL, NULL);
INSERT INTO public.messages VALUES ('6b0dcea830a4851c24041ce2', 23, '6b0dcea9df97e66d920256ec', 1, 1, 2, 'Message 22', '{"n":"22"}', NULL, '<markable xmlns="urn:xmpp:chat-markers:0"/>', 1796066985, 1796066985618, 1796066985618, NULL, false, NULL, NULL);
INSERT INTO public.messages VALUES ('6b0dcea830a4851c24041ce2', 24, '6b0dcea9df97e66d920256ee', 1, 1, 2, 'Message 23', '{"n":"23"}', NULL, '<markable xmlns="urn:xmpp:chat-markers:0"/>', 1796066985, 1796066985642, 1796066985642, NULL, false, NULL, NULL);
INSERT INTO public.messages VALUES ('6b0dcea830a4851c24041ce2', 25, '6b0dcea9df97e66d920256f0', 1, 1, 2, 'Message 24', '{"n":"24"}', NULL, '<markable xmlns="urn:xmpp:chat-markers:0"/>', 1796066985, 1796066985661, 1796066985661, NULL, false, NULL, NULL);
INSERT INTO public.messages VALUES ('6b0dcea830a4851c24041ce2', 26, '6b0dcea9df97e66d920256f2', 1, 1, 2, 'Message 25', '{"n":"25"}', NULL, '<markable xmlns="urn:xmpp:chat-markers:0"/>', 1796066985, 1796066985685, 1796066985685, NULL, false, NULL, NULL);
INSERT INTO public.messages VALUES ('6b0dcea830a4851c24041ce2', 27, '6b0dcea9df97e66d920256f4', 1, 1, 2, 'Message 26', '{"n":"26"}', NULL, '<markable xmlns="urn:xmpp:chat-markers:0"/>', 1796066985, 1796066985726, 1796066985726, NULL, false, NULL, NULL);
INSERT INTO public.messages VALUES ('6b0dcea830a4851c24041ce2', 28, '6b0dcea9df97e66d920256f6', 1, 1, 2, 'Message 27', '{"n":"27"}', NULL, '<markable xmlns="urn:xmpp:chat-markers:0"/>', 1796066985, 1796066985741, 1796066985741, NULL, false, NULL, NULL);
INSERT INTO public.messages VALUES ('6b0dcea830a4851c24041ce2', 29, '6b0dcea9df97e66d920256f8', 1, 1, 2, 'Message 28', '{"n":"28"}', NULL, '<markable xmlns="urn:xmpp:chat-markers:0"/>', 1796066985, 1796066985770, 1796066985770, NULL, false, NULL, NULL);
INSERT INTO public.messages VALUES ('6b0dcea830a4851c24041ce2', 30, '6b0dcea9df97e66d920256fa', 1, 1, 2, 'Message 29', '{"n":"29"}', NULL, '<markable xmlns="urn:xmpp:chat-markers:0"/>', 1796066985, 1796066985799, 1796066985799, NULL, false, NULL, NULL);
INSERT INTO public.messages VALUES ('6b0dcea830a4851c24041ce2', 31, '6b0dcea9df97e66d920256fc', 1, 2, 1, 'Ärger im Büro 👋', NULL, NULL, '<markable xmlns="urn:xmpp:chat-markers:0"/>', 1796066985, 1796066985814, 1796066985814, NULL, false, NULL, NULL);
INSERT INTO public.messages VALUES ('6b0dcea830a4851c24041ce2', 32, '6b0dcea9df97e66d920256fe', 1, 1, 2, 'unread', NULL, NULL, '<markable xmlns="urn:xmpp:chat-markers:0"/>', 1796066985, 1796066985877, 1796066985877, NULL, false, NULL, NULL);
INSERT INTO public.messages VALUES ('6b0dcea830a4851c24041ce2', 2, '6b0dcea9df97e66d920256c2', 1, 1, 2, 'edited', '{"n":"1"}', NULL, '<markable xmlns="urn:xmpp:chat-markers:0"/>', 1796066985, 1796066985081, 1796066985919, 1796066985, false, NULL, NULL);
INSERT INTO public.messages VALUES ('6b0dcea830a4851c24041ce3', 2, '6b0dceaa30a4851c24041ce7', 1, 1, 0, 'Group 1', NULL, NULL, '<markable xmlns="urn:xmpp:chat-markers:0"/>', 1796066986, 1796066986150, 1796066986150, NULL, true, NULL, NULL);
INSERT INTO public.messages VALUES ('6b0dcea830a4851c24041ce3', 3, '6b0dceaa30a4851c24041ce8', 1, 1, 0, 'Group 2', NULL, NULL, '<markable xmlns="urn:xmpp:chat-markers:0"/>', 1796066986, 1796066986186, 1796066986186, NULL, false, NULL, NULL);
INSERT INTO public.messages VALUES ('6b0dcea830a4851c24041ce3', 1, '6b0dceaa30a4851c24041ce6', 1, 1, 0, 'edited too', NULL, NULL, '<markable xmlns="urn:xmpp:chat-markers:0"/>', 1796066986, 1796066986077, 1796066987409, 1796066987, false, NULL, NULL);
INSERT INTO public.messages VALUES ('6b0dcea830a4851c24041ce3', 4, '6b0dceaa30a4851c24041ce9', 1, 1, 0, 'Group 3', NULL, NULL, '<markable xmlns="urn:xmpp:chat-markers:0"/>', 1796066986, 1796066986241, 1796066986241, NULL, true, NULL, NULL);
INSERT INTO public.messages VALUES ('6b0dcea830a4851c24041ce3', 5, '6b0dceaa30a4851c24041cea', 1, 1, 0, 'Group 4', NULL, NULL, '<markable xmlns="urn:xmpp:chat-markers:0"/>', 1796066986, 1796066986283, 1796066986283, NULL, false, NULL, NULL);
INSERT INTO public.messages VALUES ('6b0dcea830a4851c24041ce3', 6, '6b0dceaa30a4851c24041ceb', 1, 1, 0, 'Group 5', NULL, NULL, '<markable xmlns="urn:xmpp:chat-markers:0"/>', 1796066986, 1796066986321, 1796066986321, NULL, true, NULL, NULL);
INSERT INTO public.messages VALUES ('6b0dcea830a4851c24041ce3', 7, '6b0dceaa30a4851c24041cec', 1, 1, 0, 'Group 6', NULL, NULL, '<markable xmlns="urn:xmpp:chat-markers:0"/>', 1796066986, 1796066986356, 1796066986356, NULL, false, NULL, NULL);
INSERT INTO public.messages VALUES ('6b0dcea830a4851c24041ce3', 8, '6b0dceaa30a4851c24041ced', 1, 1, 0, 'Group 7', NULL, NULL, '<markable xmlns="urn:xmpp:chat-markers:0"/>', 1796066986, 1796066986417, 1796066986417, NULL, true, NULL, NULL);
INSERT INTO public.messages VALUES ('6b0dcea830a4851c24041ce3', 9, '6b0dceaa30a4851c24041cee', 1, 1, 0, 'Group 8', NULL, NULL, '<markable xmlns="urn:xmpp:chat-markers:0"/>', 1796066986, 1796066986465, 1796066986465, NULL, false, NULL, NULL);
INSERT INTO public.messages VALUES ('6b0dcea830a4851c24041ce3', 10, '6b0dceaa30a4851c24041cef', 1, 1, 0, 'Group 9', NULL, NULL, '<markable xmlns="urn:xmpp:chat-markers:0"/>', 1796066986, 1796066986508, 1796066986508, NULL, true, NULL, NULL);
INSERT INTO public.messages VALUES ('6b0dcea830a4851c24041ce3', 11, '6b0dceaa30a4851c24041cf0', 1, 1, 0, 'Group 10', NULL, NULL, '<markable xmlns="urn:xmpp:chat-markers:0"/>', 1796066986, 1796066986557, 1796066986557, NULL, false, NULL, NULL);
INSERT INTO public.messages VALUES ('6b0dcea830a4851c24041ce3', 12, '6b0dceaa30a4851c24041cf1', 1, 1, 0, 'Group 11', NULL, NULL, '<markable xmlns="urn:xmpp:chat-markers:0"/>', 1796066986, 1796066986608, 1796066986608, NULL, true, NULL, NULL);
INSERT INTO public.messages VALUES ('6b0dcea830a4851c24041ce3', 13, '6b0dceaa30a4851c24041cf2', 1, 1, 0, 'Group 12', NULL, NULL, '<markable xmlns="urn:xmpp:chat-markers:0"/>', 1796066986, 1796066986644, 1796066986644, NULL, false, NULL, NULL);
INSERT INTO public.messages VALUES ('6b0dcea830a4851c24041ce3', 14, '6b0dceaa30a4851c24041cf3', 1, 1, 0, 'Group 13', NULL, NULL, '<markable xmlns="urn:xmpp:chat-markers:0"/>', 1796066986, 1796066986682, 1796066986682, NULL, true, NULL, NULL);
INSERT INTO public.messages VALUES ('6b0dcea830a4851c24041ce3', 15, '6b0dceaa30a4851c24041cf4', 1, 1, 0, 'Group 14', NULL, NULL, '<markable xmlns="urn:xmpp:chat-markers:0"/>', 1796066986, 1796066986712, 1796066986712, NULL, false, NULL, NULL);
INSERT INTO public.messages VALUES ('6b0dcea830a4851c24041ce3', 16, '6b0dceaa30a4851c24041cf5', 1, 1, 0, 'Group 15', NULL, NULL, '<markable xmlns="urn:xmpp:chat-markers:0"/>', 1796066986, 1796066986745, 1796066986745, NULL, true, NULL, NULL);
INSERT INTO public.messages VALUES ('6b0dcea830a4851c24041ce3', 17, '6b0dceaa30a4851c24041cf6', 1, 1, 0, 'Group 16', NULL, NULL, '<markable xmlns="urn:xmpp:chat-markers:0"/>', 1796066986, 1796066986781, 1796066986781, NULL, false, NULL, NULL);
INSERT INTO public.messages VALUES ('6b0dcea830a4851c24041ce3', 18, '6b0dceaa30a4851c24041cf7', 1, 1, 0, 'Group 17', NULL, NULL, '<markable xmlns="urn:xmpp:chat-markers:0"/>', 1796066986, 1796066986815, 1796066986815, NULL, true, NULL, NULL);
INSERT INTO public.messages VALUES ('6b0dcea830a4851c24041ce3', 19, '6b0dceaa30a4851c24041cf8', 1, 1, 0, 'Group 18', NULL, NULL, '<markable xmlns="urn:xmpp:chat-markers:0"/>', 1796066986, 1796066986846, 1796066986846, NULL, false, NULL, NULL);
INSERT INTO public.messages VALUES ('6b0dcea830a4851c24041ce3', 20, '6b0dceaa30a4851c24041cf9', 1, 1, 0, 'Group 19', NULL, NULL, '<markable xmlns="urn:xmpp:chat-markers:0"/>', 1796066986, 1796066986895, 1796066986895, NULL, true, NULL, NULL);
INSERT INTO public.messages VALUES ('6b0dcea830a4851c24041ce3', 21, '6b0dceaa30a4851c24041cfa', 1, 1, 0, 'Group 20', NULL, NULL, '<markable xmlns="urn:xmpp:chat-markers:0"/>', 1796066986, 1796066986935, 1796066986935, NULL, false, NULL, NULL);
INSERT INTO public.messages VALUES ('6b0dcea830a4851c24041ce3', 22, '6b0dceaa30a4851c24041cfb', 1, 1, 0, 'Group 21', NULL, NULL, '<markable xmlns="urn:xmpp:chat-markers:0"/>', 1796066986, 1796066986976, 1796066986976, NULL, true, NULL, NULL);
INSERT INTO public.messages VALUES ('6b0dcea830a4851c24041ce3', 23, '6b0dceab30a4851c24041cfc', 1, 1, 0, 'Group 22', NULL, NULL, '<markable xmlns="urn:xmpp:chat-markers:0"/>', 1796066987, 1796066987009, 1796066987009, NULL, false, NULL, NULL);
INSERT INTO public.messages VALUES ('6b0dcea830a4851c24041ce3', 24, '6b0dceab30a4851c24041cfd', 1, 1, 0, 'Group 23', NULL, NULL, '<markable xmlns="urn:xmpp:chat-markers:0"/>', 1796066987, 1796066987043, 1796066987043, NULL, true, NULL, NULL);
INSERT INTO public.messages VALUES ('6b0dcea830a4851c24041ce3', 25, '6b0dceab30a4851c24041cfe', 1, 1, 0, 'Group 24', NULL, NULL, '<markable xmlns="urn:xmpp:chat-markers:0"/>', 1796066987, 1796066987086, 1796066987086, NULL, false, NULL, NULL);
INSERT INTO public.messages VALUES ('6b0dcea830a4851c24041ce3', 26, '6b0dceab30a4851c24041cff', 1, 1, 0, 'Group 25', NULL, NULL, '<markable xmlns="urn:xmpp:chat-markers:0"/>', 1796066987, 1796066987119, 1796066987119, NULL, true, NULL, NULL);
INSERT INTO public.messages VALUES ('6b0dcea830a4851c24041ce3', 27, '6b0dceab30a4851c24041d00', 1, 1, 0, 'Group 26', NULL, NULL, '<markable xmlns="urn:xmpp:chat-markers:0"/>', 1796066987, 1796066987142, 1796066987142, NULL, false, NULL, NULL);
INSERT INTO public.messages VALUES ('6b0dcea830a4851c24041ce3', 28, '6b0dceab30a4851c24041d01', 1, 1, 0, 'Group 27', NULL, NULL, '<markable xmlns="urn:xmpp:chat-markers:0"/>', 1796066987, 1796066987169, 1796066987169, NULL, true, NULL, NULL);
INSERT INTO public.messages VALUES ('6b0dcea830a4851c24041ce3', 29, '6b0dceab30a4851c24041d02', 1, 1, 0, 'Group 28', NULL, NULL, '<markable xmlns="urn:xmpp:chat-markers:0"/>', 1796066987, 1796066987214, 1796066987214, NULL, false, NULL, NULL);
INSERT INTO public.messages VALUES ('6b0dcea830a4851c24041ce3', 30, '6b0dceab30a4851c24041d03', 1, 1, 0, 'Group 29', NULL, NULL, '<markable xmlns="urn:xmpp:chat-markers:0"/>', 1796066987, 1796066987245, 1796066987245, NULL, true, NULL, NULL);
INSERT INTO public.messages VALUES ('6b0dcea830a4851c24041ce3', 31, '6b0dceab30a4851c24041d04', 1, 3, 0, 'with a picture', NULL, '[{"type":"image","uid":"9a8b","name":"ä.png"}]', '<markable xmlns="urn:xmpp:chat-markers:0"/>', 1796066987, 1796066987301, 1796066987301, NULL, true, NULL, NULL);
INSERT INTO public.messages VALUES ('6b0dcea830a4851c24041ce4', 1, '6b0dceac30a4851c24041d07', 1, 4, 0, 'Hello, public', NULL, NULL, '<markable xmlns="urn:xmpp:chat-markers:0"/>', 1796066988, 1796066988653, 1796066988653, NULL, true, NULL, NULL);
INSERT INTO public.messages VALUES ('6b0dceac30a4851c24041d08', 1, '6b0dceac30a4851c24041d09', 1, 3, 4, 'hidden soon', NULL, NULL, '<markable xmlns="urn:xmpp:chat-markers:0"/>', 1796066988, 1796066988815, 1796066988815, NULL, true, NULL, NULL);
INSERT INTO public.offline_messages VALUES (3, 1796066988898, '6b0dceacdf97e66d92025711', 1, '<message xmlns="jabber:client" from="1-1@localhost/srv-6b0dcea830a4851c24041cde-Ak5sqE6n" to="', '" type="chat" id="6b0dceacdf97e66d92025711"><body>not stored</body><extraParams xmlns="jabber:client"><date_sent>1796066988</date_sent><dialog_id></dialog_id><markable>1</markable></extraParams><markable xmlns="urn:xmpp:chat-markers:0"/></message>', 1796066988898);
INSERT INTO public.privacy_defaults VALUES (2, 1, 'quiet');
INSERT INTO public.privacy_lists VALUES (2, 'quiet', 1, '[[1, true, "jid", "4-1@localhost"], [2, true, "jid", "muc.localhost/4"]]');
INSERT INTO public.reactions VALUES ('6b0dcea830a4851c24041ce2', 5, '👍', 2, 1796066986045);
INSERT INTO public.reactions VALUES ('6b0dcea830a4851c24041ce3', 2, '❤️', 3, 1796066987436);
INSERT INTO public.receipts VALUES ('6b0dcea830a4851c24041ce2', 1, 1, 31, 31);
INSERT INTO public.receipts VALUES ('6b0dcea830a4851c24041ce2', 2, 2, 1, 31);
INSERT INTO public.receipts VALUES ('6b0dcea830a4851c24041ce2', 2, 1, 1, 32);
INSERT INTO public.receipts VALUES ('6b0dcea830a4851c24041ce3', 2, 1, 1, 1);
INSERT INTO public.receipts VALUES ('6b0dcea830a4851c24041ce3', 2, 1, 3, 3);
INSERT INTO public.receipts VALUES ('6b0dcea830a4851c24041ce3', 2, 1, 5, 5);
INSERT INTO public.receipts VALUES ('6b0dcea830a4851c24041ce3', 2, 1, 7, 7);
INSERT INTO public.receipts VALUES ('6b0dcea830a4851c24041ce3', 2, 1, 9, 9);
INSERT INTO public.receipts VALUES ('6b0dcea830a4851c24041ce3', 2, 1, 11, 11);
INSERT INTO public.receipts VALUES ('6b0dcea830a4851c24041ce3', 2, 1, 13, 13);
INSERT INTO public.receipts VALUES ('6b0dcea830a4851c24041ce3', 2, 1, 15, 15);
INSERT INTO public.receipts VALUES ('6b0dcea830a4851c24041ce3', 2, 1, 17, 17);
INSERT INTO public.receipts VALUES ('6b0dcea830a4851c24041ce3', 2, 1, 19, 19);
INSERT INTO public.receipts VALUES ('6b0dcea830a4851c24041ce3', 2, 1, 21, 21);
INSERT INTO public.receipts VALUES ('6b0dcea830a4851c24041ce3', 2, 1, 23, 23);
INSERT INTO public.receipts VALUES ('6b0dcea830a4851c24041ce3', 2, 1, 25, 25);
INSERT INTO public.receipts VALUES ('6b0dcea830a4851c24041ce3', 2, 1, 27, 27);
INSERT INTO public.receipts VALUES ('6b0dcea830a4851c24041ce3', 2, 1, 29, 29);
INSERT INTO public.receipts VALUES ('6b0dcea830a4851c24041ce3', 2, 2, 1, 5);
INSERT INTO public.receipts VALUES ('6b0dcea830a4851c24041ce3', 4, 1, 1, 31);
INSERT INTO public.tokens VALUES ('b5f53b71d7aeb40573547394ab355a58f4b1a0d20c7713b248c71a28248b5ea0', 2950373050203218, 1, 1, 1796074184, 1796066984, 1796066984, false);
INSERT INTO public.tokens VALUES ('c455556ebaa5272770542388d9f1f4984d3c6f7d32fb34d64c09ee7731934bc1', 8905765871242556, 1, 2, 1796074184, 1796066984, 1796066984, false);
INSERT INTO public.tokens VALUES ('f4fca5430ca4f6176bdea1ecfd6ac162d71af2f3bc8f3228bceefcfd8637223d', 1080869499289331, 1, 3, 1796074184, 1796066984, 1796066984, false);
INSERT INTO public.tokens VALUES ('8bba0744cb8a7ac9a1892bef530de9217bfa43dc9366945b00dd67e5af766e51', 6077883200748176, 1, 4, 1796074184, 1796066984, 1796066984, false);
INSERT INTO public.tokens VALUES ('6e12e08ca76b55fea84f33a0c933668263bc531d50d7b70869250e7ff2ece6f5', 775020569865122, 1, 1, 1796074189, 1796066989, 1796066989, false);
INSERT INTO public.tokens VALUES ('0804eec29cb4c58cbfe3342823f342cca0d7de9bb33c070cb6881fbbc45eb097', 1050521502594694, 1, 1, 1796074190, 1796066990, 1796066990, false);
INSERT INTO public.tokens VALUES ('981733d6cedbde609bac3416b2fc58214f994a94d339d0bcc0601fa8d97bd8a6', 415866467335338, 1, 2, 1796074190, 1796066990, 1796066990, false);
INSERT INTO public.tokens VALUES ('fa1b48630d09273d6ebb040b4dd9c78e95bda9e8ac3f393ba72222ce9f808043', 5461709845477934, 1, 2, 1796074191, 1796066991, 1796066991, false);
INSERT INTO public.tokens VALUES ('14f1dc7d2d81535ae9d3c85e5bf8c04b6f3360186f574de8c6ca2ee730d0f2ed', 2694810544828505, 1, 3, 1796074191, 1796066991, 1796066991, false);
INSERT INTO public.tokens VALUES ('1530b334c7d1abc4c820db3001fb649299d9971539b58e14a4c9d3a25669a016', 3360410236569495, 1, 3, 1796074192, 1796066992, 1796066992, false);
INSERT INTO public.tokens VALUES ('32e2f1877b838cf04b437c7d1347210d09a1d6ee37fb055ea3bdb15ef4ae40a4', 4152243356042844, 1, 4, 1796074192, 1796066992, 1796066992, false);
INSERT INTO public.tokens VALUES ('619907305fe46969c482315c2b0b161eea50b0daa314b31b8b92753d355a19b8', 7163156170468920, 1, 4, 1796074192, 1796066992, 1796066992, false);
INSERT INTO public.user_tags VALUES (1, 'vip', 1);
INSERT INTO public.users VALUES (1, 1, 'ann', 'ann', 'ann@example.org', 'ann@example.org', '$argon2id$v=19$m=19456,t=2,p=1$7lSiqQPcxncnFl16OEj7rw$cyD1buS0+5/B19nD+/SteWjj6Ho83GdoRwj9mETWZJc', 'Änn Örtli', '+4915123456789', NULL, NULL, NULL, NULL, NULL, NULL, 'vip', NULL, NULL, NULL, false, 1796066974, 1796066984, 1796066990, 'änn örtli');
INSERT INTO public.users VALUES (2, 1, 'bob', 'bob', NULL, NULL, '$argon2id$v=19$m=19456,t=2,p=1$L9xR2oLca7iZx/dkDuekjw$IJzT6sPO66bFNpFOxCPPk/d+GY96HEdGxvp+mk3OPeE', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, false, 1796066976, 1796066976, 1796066991, NULL);
INSERT INTO public.users VALUES (3, 1, 'cyd', 'cyd', NULL, NULL, '$argon2id$v=19$m=19456,t=2,p=1$QQffQB5OuvGBdibwhGdomA$bkA54NTTWzpfxM36VMUZZ7cvvxtorH+Oa9Bo6DOKv3I', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, false, 1796066978, 1796066978, 1796066992, NULL);
INSERT INTO public.users VALUES (4, 1, 'dan', 'dan', NULL, NULL, '$argon2id$v=19$m=19456,t=2,p=1$kT02eEZjNd4swBmrRe3DYA$qCOJPGUQpjp1ixgB1bCNISX/+UqOpT0bxImYQwn56+g', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, false, 1796066979, 1796066979, 1796066992, NULL);
SELECT pg_catalog.setval('public.erased_users_user_id_seq', 1, false);
ALTER TABLE ONLY public.alembic_version
    ADD CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num);
ALTER TABLE ONLY public.apps
    ADD CONSTRAINT apps_admin_api_key_key UNIQUE (admin_api_key);
ALTER TABLE ONLY public.apps
    ADD CONSTRAINT apps_auth_key_key UNIQUE (auth_key);
ALTER TABLE ONLY public.apps
    ADD CONSTRAINT apps_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.contacts
    ADD CONSTRAINT contacts_pkey PRIMARY KEY (user_id, contact_id);
ALTER TABLE ONLY public.counters
    ADD CONSTRAINT counters_pkey PRIMARY KEY (name);
ALTER TABLE ONLY public.dialogs
    ADD CONSTRAINT dialogs_app_id_pair_key UNIQUE (app_id, pair);
ALTER TABLE ONLY public.dialogs
    ADD CONSTRAINT dialogs_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.erased_users
    ADD CONSTRAINT erased_users_pkey PRIMARY KEY (user_id);
ALTER TABLE ONLY public.erasing
    ADD CONSTRAINT erasing_pkey PRIMARY KEY (dialog_id);
ALTER TABLE ONLY public.hidden_messages
    ADD CONSTRAINT hidden_messages_pkey PRIMARY KEY (dialog_id, user_id, seq);
ALTER TABLE ONLY public.job_leases
    ADD CONSTRAINT job_leases_pkey PRIMARY KEY (name);
ALTER TABLE ONLY public.last_activity
    ADD CONSTRAINT last_activity_pkey PRIMARY KEY (user_id);
ALTER TABLE ONLY public.members
    ADD CONSTRAINT members_pkey PRIMARY KEY (dialog_id, user_id);
ALTER TABLE ONLY public.message_ids
    ADD CONSTRAINT message_ids_pkey PRIMARY KEY (app_id, id);
ALTER TABLE ONLY public.message_texts
    ADD CONSTRAINT message_texts_pkey PRIMARY KEY (rowid);
ALTER TABLE ONLY public.messages
    ADD CONSTRAINT messages_pkey PRIMARY KEY (dialog_id, seq);
ALTER TABLE ONLY public.nodes
    ADD CONSTRAINT nodes_pkey PRIMARY KEY (node);
ALTER TABLE ONLY public.offline_messages
    ADD CONSTRAINT offline_messages_pkey PRIMARY KEY (user_id, seq);
ALTER TABLE ONLY public.offline_messages
    ADD CONSTRAINT offline_messages_user_id_message_id_key UNIQUE (user_id, message_id);
ALTER TABLE ONLY public.presence
    ADD CONSTRAINT presence_pkey PRIMARY KEY (user_id, node);
ALTER TABLE ONLY public.privacy_defaults
    ADD CONSTRAINT privacy_defaults_pkey PRIMARY KEY (user_id);
ALTER TABLE ONLY public.privacy_lists
    ADD CONSTRAINT privacy_lists_pkey PRIMARY KEY (user_id, name);
ALTER TABLE ONLY public.reactions
    ADD CONSTRAINT reactions_pkey PRIMARY KEY (dialog_id, seq, reaction, user_id);
ALTER TABLE ONLY public.receipts
    ADD CONSTRAINT receipts_pkey PRIMARY KEY (dialog_id, user_id, kind, low);
ALTER TABLE ONLY public.search_dialogs
    ADD CONSTRAINT search_dialogs_number_key UNIQUE (number);
ALTER TABLE ONLY public.search_dialogs
    ADD CONSTRAINT search_dialogs_pkey PRIMARY KEY (dialog_id);
ALTER TABLE ONLY public.tokens
    ADD CONSTRAINT tokens_id_key UNIQUE (id);
ALTER TABLE ONLY public.tokens
    ADD CONSTRAINT tokens_pkey PRIMARY KEY (token_hash);
ALTER TABLE ONLY public.user_tags
    ADD CONSTRAINT user_tags_pkey PRIMARY KEY (user_id, tag);
ALTER TABLE ONLY public.users
    ADD CONSTRAINT users_app_id_email_key_key UNIQUE (app_id, email_key);
ALTER TABLE ONLY public.users
    ADD CONSTRAINT users_app_id_external_id_key UNIQUE (app_id, external_id);
ALTER TABLE ONLY public.users
    ADD CONSTRAINT users_app_id_login_key_key UNIQUE (app_id, login_key);
ALTER TABLE ONLY public.users
    ADD CONSTRAINT users_pkey PRIMARY KEY (id);
CREATE INDEX contacts_contact ON public.contacts USING btree (contact_id);
CREATE INDEX dialogs_app ON public.dialogs USING btree (app_id, type);
CREATE INDEX dialogs_dropped ON public.dialogs USING btree (id, dropped) WHERE dropped;
CREATE INDEX members_activity ON public.members USING btree (user_id, copied, activity, dialog_id, active, hidden, type) WHERE (active AND (NOT hidden) AND (type <> 1));
CREATE INDEX members_admins ON public.members USING btree (dialog_id, admin) WHERE admin;
CREATE INDEX members_listed_at ON public.members USING btree (user_id, copied, listed_at, dialog_id, active, hidden, type) WHERE (active AND (NOT hidden) AND (type <> 1));
CREATE INDEX members_user ON public.members USING btree (user_id, active, type);
CREATE INDEX message_ids_removed ON public.message_ids USING btree (removed_at) WHERE (removed_at IS NOT NULL);
CREATE INDEX message_texts_grams ON public.message_texts USING gin (((rowid >> 32)), body public.gin_trgm_ops) WITH (gin_pending_list_limit='1024');
CREATE INDEX messages_changed ON public.messages USING btree (dialog_id, updated_at, seq) WHERE (updated_at <> created_at);
CREATE INDEX messages_date ON public.messages USING btree (dialog_id, date_sent, seq);
CREATE INDEX messages_destroy ON public.messages USING btree (dialog_id, seq) WHERE (destroy_after IS NOT NULL);
CREATE INDEX messages_expiry ON public.messages USING btree (expires_at) WHERE (expires_at IS NOT NULL);
CREATE INDEX presence_node ON public.presence USING btree (node);
CREATE INDEX reactions_user ON public.reactions USING btree (user_id);
CREATE INDEX tokens_expiry ON public.tokens USING btree (expires_at);
CREATE INDEX tokens_user ON public.tokens USING btree (user_id, expires_at);
CREATE INDEX user_tags_tag ON public.user_tags USING btree (app_id, tag, user_id);
CREATE INDEX users_external_user_id ON public.users USING btree (app_id, external_user_id) WHERE (external_user_id IS NOT NULL);
CREATE INDEX users_facebook_id ON public.users USING btree (app_id, facebook_id) WHERE (facebook_id IS NOT NULL);
CREATE INDEX users_guests ON public.users USING btree (created_at) WHERE is_guest;
CREATE INDEX users_name ON public.users USING btree (app_id, name_key);
CREATE INDEX users_phone ON public.users USING btree (app_id, phone) WHERE (phone IS NOT NULL);
CREATE INDEX users_twitter_id ON public.users USING btree (app_id, twitter_id) WHERE (twitter_id IS NOT NULL);
