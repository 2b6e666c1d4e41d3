#!/bin/sh
# Makes the certificates beside it anew, with OpenSSL's command. They are carried with the tests, so that a run needs
# neither the command nor the time for making keys; the keys protect nothing. They are valid until 2126.
set -eu
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
: >"$work/index"
echo 01 >"$work/serial"
cat >"$work/ca.conf" <<EOF
[ca]
default_ca = tests
[tests]
database = $work/index
serial = $work/serial
new_certs_dir = $work
default_md = sha256
policy = any
copy_extensions = copy
unique_subject = no
rand_serial = yes
x509_extensions = of_a_leaf
[of_a_leaf]
basicConstraints = critical,CA:FALSE
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
[any]
commonName = supplied
EOF

key() { # key rsa|ecdsa FILE
    case $1 in
    rsa) openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out "$2" ;;
    ecdsa) openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$2" ;;
    esac
}

# signed NAME rsa|ecdsa COMMON_NAME END EXTENSION...: NAME.pem holds the key and the certificate that the CA signed.
signed() {
    name=$1 kind=$2 common=$3 end=$4
    shift 4
    for extension in "$@"; do set -- "$@" -addext "$extension"; shift; done
    key "$kind" "$work/key"
    openssl req -new -key "$work/key" -subj "/CN=$common" "$@" -out "$work/request"
    openssl ca -batch -notext -config "$work/ca.conf" -cert ca.pem -keyfile "$work/ca.key" \
        -startdate 20200101000000Z -enddate "$end" -in "$work/request" -out "$work/certificate" 2>"$work/log" ||
        { cat "$work/log" >&2; exit 1; }
    cat "$work/key" "$work/certificate" >"$name.pem"
}

# self_signed FILE KEY COMMON_NAME EXTENSION...
self_signed() {
    file=$1 with=$2 common=$3
    shift 3
    for extension in "$@"; do set -- "$@" -addext "$extension"; shift; done
    openssl req -x509 -new -key "$with" -subj "/CN=$common" -days 36500 "$@" -out "$file"
}

far=21260101000000Z
names='subjectAltName=DNS:localhost,DNS:*.wild.example,DNS:xn--knig-5qa.example,IP:127.0.0.1,IP:::1'

key ecdsa "$work/ca.key"
self_signed ca.pem "$work/ca.key" "ferrio tests" 'basicConstraints=critical,CA:TRUE' 'keyUsage=critical,keyCertSign'
signed rsa rsa localhost $far "$names"
signed ecdsa ecdsa localhost $far "$names"
signed other ecdsa other.example $far 'subjectAltName=DNS:other.example'
signed expired ecdsa localhost 20210101000000Z "$names"
signed client ecdsa "a client" $far 'extendedKeyUsage=clientAuth'
key ecdsa "$work/key"
self_signed "$work/certificate" "$work/key" localhost "$names"
cat "$work/key" "$work/certificate" >unknown.pem
