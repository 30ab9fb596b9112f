#!/bin/sh
# Builds the companion's image, and saves it as an archive of `docker save` for clusters without a
# registry (docs/try.md):
#   save-image.sh FILE [BUILD-ARGUMENT...]
#
# Further arguments go to the build, for example --platform linux/arm64, or those of the Dockerfile
# for a build without a network. Uses Docker, Podman or Buildah; BUILDER chooses one.
set -eu
[ $# -gt 0 ] || { echo 'usage: save-image.sh FILE [BUILD-ARGUMENT...]' >&2; exit 64; }
here=$(cd "$(dirname "$0")" && pwd)
file=$1
shift
case $file in /*) ;; *) file=$PWD/$file ;; esac

# The image has the name by which the manifests and the charts look for it. Only Docker adds the
# registry by itself.
tag=$(sed -n 's/^.*newTag: *"\{0,1\}\([^", }]*\).*$/\1/p' "$here/base/kustomization.yaml")
[ -n "$tag" ] && [ -e "$here/../Dockerfile" ] || {
  echo 'not a checkout whose manifests name the image by a tag: take the archive of a release' >&2
  exit 65
}
image=docker.io/lazyscope/companion:$tag

for known in docker podman buildah; do
  ! command -v "$known" >/dev/null || builder=${builder:-$known}
done
builder=${BUILDER:-${builder:-none}}
cd "$here/.."
# Podman and Buildah add to a file that exists, or refuse it.
rm -f "$file"
case $builder in
  docker)
    docker build "$@" --tag "$image" .
    docker save --output "$file" "$image"
    ;;
  podman)
    podman build "$@" --tag "$image" .
    podman save --format docker-archive --output "$file" "$image"
    ;;
  buildah)
    buildah bud "$@" --tag "$image" .
    buildah push "$image" "docker-archive:$file:$image"
    ;;
  *) echo "'$builder' builds no images: install docker, podman or buildah" >&2; exit 69 ;;
esac
echo "$file holds $image"
