"""Namespace names, each written once."""

CLIENT = "jabber:client"  # RFC 6120 §4.8.2
STREAMS = "http://etherx.jabber.org/streams"  # RFC 6120 §4.8.1
STREAM_ERRORS = "urn:ietf:params:xml:ns:xmpp-streams"  # RFC 6120 §4.9.2
STANZA_ERRORS = "urn:ietf:params:xml:ns:xmpp-stanzas"  # RFC 6120 §8.3.2
TLS = "urn:ietf:params:xml:ns:xmpp-tls"  # RFC 6120 §5
SASL = "urn:ietf:params:xml:ns:xmpp-sasl"  # RFC 6120 §6
BIND = "urn:ietf:params:xml:ns:xmpp-bind"  # RFC 6120 §7
SESSION = "urn:ietf:params:xml:ns:xmpp-session"  # RFC 3921 §3
FRAMING = "urn:ietf:params:xml:ns:xmpp-framing"  # RFC 7395 §3.3
ROSTER = "jabber:iq:roster"  # RFC 6121 §2
XML = "http://www.w3.org/XML/1998/namespace"

SM = "urn:xmpp:sm:3"  # XEP-0198
CARBONS = "urn:xmpp:carbons:2"  # XEP-0280
FORWARD = "urn:xmpp:forward:0"  # XEP-0297
DELAY = "urn:xmpp:delay"  # XEP-0203
PING = "urn:xmpp:ping"  # XEP-0199
CSI = "urn:xmpp:csi:0"  # XEP-0352
BLOCKING = "urn:xmpp:blocking"  # XEP-0191
MOBILE = "http://tigase.org/protocol/mobile#v2"  # realtime §14
CHAT_STATES = "http://jabber.org/protocol/chatstates"  # XEP-0085
CHAT_MARKERS = "urn:xmpp:chat-markers:0"  # XEP-0333
MESSAGE_CORRECT = "urn:xmpp:message-correct:0"  # XEP-0308
MESSAGE_DELETE = "urn:xmpp:message-delete:0"  # realtime §9.4
MAM = "urn:xmpp:mam:2"  # XEP-0313
RSM = "http://jabber.org/protocol/rsm"  # XEP-0059
DATA_FORMS = "jabber:x:data"  # XEP-0004
HINTS = "urn:xmpp:hints"  # XEP-0334
DISCO_INFO = "http://jabber.org/protocol/disco#info"  # XEP-0030
DISCO_ITEMS = "http://jabber.org/protocol/disco#items"  # XEP-0030
MUC = "http://jabber.org/protocol/muc"  # XEP-0045
MUC_USER = "http://jabber.org/protocol/muc#user"
