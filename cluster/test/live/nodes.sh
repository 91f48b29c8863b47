# With more than one node: one is cut off, and healed.

nodes() {
  check node-cut-off cut_off n2
  check node-healed healed n2
  check volumes-are-of-their-node other_node
}
ready() { [ "$(k get node "$1" -o 'jsonpath={.status.conditions[?(@.type=="Ready")].status}')" = "$2" ]; }
cut_off() { c cut "$1" && within 60 ready "$1" Unknown; }
healed() { c heal "$1" && within 60 ready "$1" True; }
other_node() { claim far 32Mi && pod disks far app=far '' far n2 && [ -n "$(ls "$LC_BASE"/volumes/n2/disks_far_*/disk.img)" ] && k -n disks delete pod/far pvc/far --timeout=60s && within 60 eval '[ -z "$(image_of far)" ]'; }
