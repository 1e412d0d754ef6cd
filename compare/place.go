package compare

// placeKind is what part of an answer a place is in, as rules write it.
type placeKind string

const (
	placeStatus  placeKind = "status"
	placeHeader  placeKind = "header"
	placeCookie  placeKind = "cookie"
	placeTrailer placeKind = "trailer"
	placeText    placeKind = "text"
	placeBody    placeKind = "body"
	placeAnswer  placeKind = "answer" // there is none; no rule excuses that
	placeJSON    placeKind = "$"
)
